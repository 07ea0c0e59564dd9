import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallError, Code } from '../errors.ts';
import { noSuchDelegation, parseBpfDelegation } from './bpf-delegation.ts';

const metadata = { name: 'xdp', uid: 'u', resourceVersion: '1', creationTimestamp: '' };
const parse = (spec: unknown) =>
  parseBpfDelegation({ apiVersion: 'bpffs.dev/v1alpha1', kind: 'BpfDelegation', metadata, spec });
const loader = {
  commands: ['prog_load', 'map_create', 'btf_load'],
  mapTypes: ['hash', 'array'],
  programTypes: ['xdp'],
  attachTypes: ['xdp'],
};

function problem(spec: unknown): string {
  try {
    parse(spec);
  } catch (error) {
    assert(error instanceof CallError);
    assert.equal(error.code, Code.FAILED_PRECONDITION);
    return error.message.replace(/^BpfDelegation "xdp" cannot be used: /, '');
  }
  return '';
}

test('what it lists is what is delegated', () => {
  assert.deepEqual(parse(loader), loader);
  const onlyMaps = { commands: ['map_create'], mapTypes: ['hash'] };
  assert.deepEqual(parse(onlyMaps), { ...onlyMaps, programTypes: [], attachTypes: [] });
});

const beyond: readonly (readonly [string, string])[] = [
  ['commands', 'map_get_fd_by_id'],
  ['mapTypes', 'struct_ops'],
  ['programTypes', 'kprobe'],
  ['attachTypes', 'trace_fentry'],
];
for (const [field, name] of beyond) {
  test(`${name} takes a field that accepts the risk`, () => {
    const spec = { ...loader, [field]: [...loader[field as keyof typeof loader], name] };
    const index = spec[field as keyof typeof loader].length - 1;
    const why = `spec.${field}[${index}]: "${name}" reaches beyond the pod: leave it out, or accept that with allowBeyondPod: true`;
    assert.equal(problem(spec), why);
    assert.equal(problem({ ...spec, allowBeyondPod: false }), why);
    assert.deepEqual(parse({ ...spec, allowBeyondPod: true })[field as keyof typeof loader], spec[field as 'commands']);
  });
}

test('a problem names the field and the value', () => {
  assert.match(
    problem({ ...loader, programTypes: ['any'] }),
    /^spec\.programTypes\[0\]: "any" is none of socket_filter, /,
  );
  assert.equal(problem({ ...loader, mapTypes: ['hash', 'array', 'hash'] }), 'spec.mapTypes[2]: "hash" is named twice');
  assert.equal(problem({ ...loader, attachTypes: [] }), 'spec.attachTypes: required with the command prog_load');
  assert.equal(
    problem({ ...loader, commands: ['prog_load'] }),
    'spec.mapTypes: takes the command map_create, which is not in commands',
  );
  assert.equal(problem({ commands: [] }), 'spec.commands: must name one at least');
});

test('one that does not exist, with those that were probably meant', () => {
  assert.equal(noSuchDelegation('xpd', ['xdp', 'tc']).message, 'there is no BpfDelegation "xpd"; did you mean "xdp"?');
});
