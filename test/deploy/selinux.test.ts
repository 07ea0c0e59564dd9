import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { modulePath, PROFILES, readProfile, type SelinuxProfile, selinuxModule } from './selinux-modules.ts';

for (const name of PROFILES) {
  test(`the module ${name} is made from the profile`, async () => {
    const profile = await readProfile(name);
    assert.equal(profile.metadata.name, name);
    assert.equal(await readFile(modulePath(name), 'utf8'), selinuxModule(profile), 'run `make manifests`');
  });
}

test('a writer may only write besides what a reader may, and a reader may not', async () => {
  const [reader, writer] = [rules(await readProfile('bpf-reader')), rules(await readProfile('bpf-writer'))];
  assert.deepEqual(
    writer.filter((rule) => !reader.includes(rule)),
    ['bpf_t file write', 'spc_t bpf map_write'],
  );
  assert.deepEqual(
    reader.filter((rule) => !writer.includes(rule) || !/ (getattr|map_read|open|read|search)$/.test(rule)),
    [],
  );
});

function rules({ spec }: SelinuxProfile): readonly string[] {
  return Object.entries(spec.allow).flatMap(([type, classes]) =>
    Object.entries(classes).flatMap(([name, permissions]) => permissions.map((one) => `${type} ${name} ${one}`)),
  );
}
