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
  for (const [enforce, label, state, found] of [
    ['1', 'system_u:system_r:spc_t:s0', 'ok', /^enforcing, .* spc_t: .*bpf-reader\.process/],
    ['1', 'system_u:system_r:container_t:s0:c1,c2', 'warn', /container_t: .*node\.seLinuxOptions\.type=spc_t/],
    ['0', 'system_u:system_r:container_t:s0:c1,c2', 'ok', /^permissive/],
    // Without selinuxfs, as in a container.
    [undefined, 'system_u:system_r:spc_t:s0\0', 'ok', /^on, .* spc_t: .*bpf-writer\.process/],
  ] as const) {
    const check = selinuxCheck(enforce, label) ?? assert.fail(label);
    assert.equal(check.state, state, label);
    assert.match(check.found, found);
  }
});

test('another security module is not SELinux', () => {
  for (const label of [undefined, 'unconfined', 'cri-containerd.apparmor.d (enforce)', ':lxd:profile (enforce)'])
    assert.equal(selinuxCheck(undefined, label), undefined);
});
