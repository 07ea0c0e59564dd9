import assert from 'node:assert/strict';
import { test } from 'node:test';
import { selects } from './label-selector.ts';

const labels = { app: 'agent', tier: 'node' };
const expression = (key: string, operator: string, ...values: readonly string[]) => ({
  matchExpressions: [{ key, operator, values: [...values] }],
});

test('a selector selects what the API server says it does', () => {
  for (const selector of [
    {},
    { matchLabels: null, matchExpressions: null },
    { matchLabels: { app: 'agent' } },
    { matchLabels: { app: 'agent', tier: 'node' } },
    expression('app', 'In', 'other', 'agent'),
    expression('app', 'NotIn', 'other'),
    expression('zone', 'NotIn', 'a'),
    expression('app', 'Exists'),
    expression('zone', 'DoesNotExist'),
  ]) {
    assert.equal(selects(selector, labels), true, JSON.stringify(selector));
  }
  for (const selector of [
    { matchLabels: { app: 'other' } },
    { matchLabels: { app: 'agent', zone: 'a' } },
    { matchLabels: { app: 'agent' }, ...expression('tier', 'DoesNotExist') },
    expression('app', 'In', 'other'),
    expression('zone', 'In', 'a'),
    expression('app', 'NotIn', 'agent'),
    expression('zone', 'Exists'),
    expression('app', 'DoesNotExist'),
    expression('app', 'Gt', '1'),
  ]) {
    assert.equal(selects(selector, labels), false, JSON.stringify(selector));
  }
});
