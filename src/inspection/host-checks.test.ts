import assert from 'node:assert/strict';
import { test } from 'node:test';
import { lockdownCheck, selinuxCheck } from './host-checks.ts';

test('only lockdown for confidentiality is in the way of maps', () => {
  for (const [value, state, mode] of [
    ['[none] integrity confidentiality', 'ok', 'none'],
    ['none [integrity] confidentiality', 'ok', 'integrity'],
    ['none integrity [confidentiality]', 'warn', 'confidentiality'],
  ] as const) {
    const check = lockdownCheck(value);
    assert.deepEqual([check.state, check.found.split(':')[0]], [state, mode]);
  }
});

test('SELinux that enforces says what it takes', () => {
  assert.match(selinuxCheck('1').found, /^enforcing: .*node\.seLinuxOptions\.type=spc_t/);
  assert.match(selinuxCheck('0').found, /^permissive/);
});
