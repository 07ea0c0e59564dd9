import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { canCommand, statusCommand, whoCommand } from './commands.ts';
import { candidates, completeCommand } from './complete.ts';

const program = new Command();
for (const command of [whoCommand(), canCommand(), statusCommand(), completeCommand(program)])
  program.addCommand(command);

test('the first word is a command, and none that is hidden', () => {
  assert.deepEqual(candidates(program, ['']), ['who', 'can', 'status']);
});

test('arguments are counted without flags and their values', () => {
  assert.equal(candidates(program, ['who', '']), 'maps');
  assert.equal(candidates(program, ['who', '-n', 'prod', '']), 'maps');
  assert.equal(candidates(program, ['who', '--namespace=prod', '']), 'maps');
  assert.deepEqual(candidates(program, ['who', 'flows', '']), []);
  assert.deepEqual(candidates(program, ['can', 'prod/x', '']), ['read', 'write', 'use']);
  assert.equal(candidates(program, ['can', 'prod/x', 'read', '']), 'maps');
  assert.equal(candidates(program, ['can', 'prod/x', 'use', '-n', 'prod', '']), 'delegations');
});

test('flags, and their values where there is a choice', () => {
  const flags = candidates(program, ['status', '-']);
  assert.ok(Array.isArray(flags) && flags.includes('--output') && flags.includes('--context'));
  assert.deepEqual(candidates(program, ['status', '-o', '']), ['table', 'wide', 'json', 'yaml']);
  assert.deepEqual(candidates(program, ['status', '--node', '']), []);
  assert.deepEqual(candidates(program, ['nothing', '']), []);
});
