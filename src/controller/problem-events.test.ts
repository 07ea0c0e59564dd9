import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { NewEvent } from '../kubernetes/event-recorder.ts';
import { type Problem, tellProblems } from './problem-events.ts';

const problem = (name: string): Problem => ({
  regarding: { apiVersion: 'bpffs.dev/v1alpha1', kind: 'BpfMap', name, uid: `uid of ${name}` },
  reason: 'InvalidBpfMap',
  note: `BpfMap "${name}" cannot be used`,
});

test('problems are told after changes, every half hour, and no more once closed', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  const told: NewEvent[] = [];
  const all = [problem('a')];
  const { changed, close } = tellProblems({ record: (event) => told.push(event) }, () => all);
  for (let n = 0; n < 100; n += 1) changed();
  t.mock.timers.tick(1000);
  assert.deepEqual(told, [{ ...problem('a'), type: 'Warning', action: 'Read', isState: true }]);
  all.push(problem('b'));
  changed();
  t.mock.timers.tick(1000);
  assert.deepEqual(told.slice(1), [told[0], { ...told[0], ...problem('b') }]);
  t.mock.timers.tick(30 * 60_000);
  assert.equal(told.length, 5);
  all.length = 0;
  t.mock.timers.tick(60 * 60_000);
  assert.equal(told.length, 5);
  all.push(problem('c'));
  changed();
  close();
  t.mock.timers.tick(60 * 60_000);
  assert.equal(told.length, 5);
});

test('no more are told than the API server bears', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout', 'setInterval'] });
  let told = 0;
  const all = Array.from({ length: 5000 }, (_, index) => problem(`${index}`));
  const record = () => {
    told += 1;
  };
  const { changed, close } = tellProblems({ record }, () => all);
  changed();
  t.mock.timers.tick(1000);
  assert.equal(told, 200);
  close();
});
