import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { parseGrants } from '../../src/access/grants-file.ts';
import { parseCreateRequest } from '../../src/controller/create-request.ts';
import { parseCatalog } from '../../src/maps/catalog-file.ts';
import { parsePublishRequest } from '../../src/node/publish-request.ts';
import { type MapRequest, parseMapList } from '../../src/request/map-list.ts';
import { VolumeCapability_AccessMode_Mode as Mode } from '../../src/rpc/csi.ts';
import { version } from '../../src/version.ts';
import { publishRequest } from '../node-plugin/harness.ts';
import { capability, createRequest } from './harness.ts';

const DIRECTORY = join(import.meta.dirname, '../../deploy/examples');
const DRIVER = 'csi.bpffs.dev';

interface Claim {
  readonly storageClassName: string;
  readonly accessModes: readonly (keyof typeof MODES)[];
  readonly resources: { readonly requests: { readonly storage: string } };
}

interface PodVolume {
  readonly name: string;
  readonly csi?: { readonly driver: string; readonly volumeAttributes: Readonly<Record<string, string>> };
  readonly persistentVolumeClaim?: { readonly claimName: string };
  readonly ephemeral?: { readonly volumeClaimTemplate: { readonly spec: Claim } };
}

interface Container {
  readonly image: string;
  readonly volumeMounts: readonly { readonly name: string }[];
}

interface Pod {
  readonly serviceAccountName?: string;
  readonly volumes: readonly PodVolume[];
  readonly initContainers?: readonly Container[];
  readonly containers: readonly Container[];
}

interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly namespace?: string };
  readonly provisioner?: string;
  readonly volumeBindingMode?: string;
  readonly parameters?: Readonly<Record<string, string>>;
  readonly spec?: unknown;
  /** The document as it stands in the file. */
  readonly text: string;
}

/** What external-provisioner sends for an access mode to a driver with SINGLE_NODE_MULTI_WRITER. */
const MODES = {
  ReadWriteOnce: Mode.SINGLE_NODE_MULTI_WRITER,
  ReadWriteOncePod: Mode.SINGLE_NODE_SINGLE_WRITER,
  ReadOnlyMany: Mode.MULTI_NODE_READER_ONLY,
  ReadWriteMany: Mode.MULTI_NODE_MULTI_WRITER,
};

const KINDS: Readonly<Record<string, string>> = {
  BpfDelegation: 'bpffs.dev/v1alpha1',
  BpfMap: 'bpffs.dev/v1alpha1',
  DaemonSet: 'apps/v1',
  Role: 'rbac.authorization.k8s.io/v1',
  RoleBinding: 'rbac.authorization.k8s.io/v1',
  StorageClass: 'storage.k8s.io/v1',
  Namespace: 'v1',
  PersistentVolumeClaim: 'v1',
  Pod: 'v1',
  ServiceAccount: 'v1',
};

function objectsOf(text: string): readonly KubernetesObject[] {
  return parseAllDocuments(text).map((document) => {
    assert.deepEqual([document.errors, document.warnings], [[], []]);
    return { ...(document.toJS() as KubernetesObject), text: document.toString() };
  });
}

function bytes(quantity: string): number {
  const [, number, unit] = /^(\d+)(Ki|Mi|Gi)$/.exec(quantity) ?? assert.fail(quantity);
  return Number(number) * { Ki: 1 << 10, Mi: 1 << 20, Gi: 1 << 30 }[unit as 'Ki' | 'Mi' | 'Gi'];
}

for (const file of readdirSync(DIRECTORY)) {
  const text = readFileSync(join(DIRECTORY, file), 'utf8');
  const objects = objectsOf(text);
  const ofKind = (...kinds: readonly string[]) => objects.filter(({ kind }) => kinds.includes(kind));
  const named = (kind: string, name: string, namespace?: string) =>
    ofKind(kind).find(({ metadata }) => metadata.name === name && metadata.namespace === namespace) ??
    assert.fail(`there is no ${kind} ${namespace ?? ''}/${name}`);
  const manifest = (...kinds: readonly string[]) =>
    ofKind(...kinds)
      .map((object) => object.text)
      .join('---\n');
  const daemonSets = ofKind('DaemonSet').map(({ metadata, spec }) => {
    const { template } = spec as { readonly template: { readonly spec: Pod } };
    return { metadata, spec: template.spec };
  });
  const pods = [...ofKind('Pod').map(({ metadata, spec }) => ({ metadata, spec: spec as Pod })), ...daemonSets];

  /** The class of a claim, after the controller has accepted a request for it. */
  const classOf = ({ storageClassName, accessModes, resources }: Claim): KubernetesObject => {
    const storageClass = named('StorageClass', storageClassName);
    parseCreateRequest(
      createRequest('pvc', {
        parameters: { ...storageClass.parameters },
        capacityRange: { requiredBytes: bytes(resources.requests.storage), limitBytes: 0 },
        volumeCapabilities: accessModes.map((mode) => capability(MODES[mode])),
      }),
    );
    return storageClass;
  };

  describe(file, () => {
    test('says at its head what to expect', () => {
      const [head = ''] = text.split(/^[^#]/m, 1);
      assert.match(head, /^# [A-Z].*\n(#.*\n)*#\n# Expect: ./);
    });

    test('holds objects of known kinds, each once', () => {
      assert(pods.length > 0);
      for (const { apiVersion, kind, metadata } of objects) {
        assert.equal(apiVersion, KINDS[kind], kind);
        const same = (other: KubernetesObject) =>
          other.kind === kind &&
          other.metadata.name === metadata.name &&
          other.metadata.namespace === metadata.namespace;
        assert.equal(objects.filter(same).length, 1);
      }
    });

    test('has classes that the controller understands, and claims that it makes', () => {
      for (const { provisioner, parameters, volumeBindingMode } of ofKind('StorageClass')) {
        assert.equal(provisioner, DRIVER);
        if (parameters?.type !== 'maps') assert.equal(volumeBindingMode, 'WaitForFirstConsumer');
      }
      for (const { spec } of ofKind('PersistentVolumeClaim')) classOf(spec as Claim);
    });

    test('has the DaemonSets whose workspaces its maps are in', () => {
      for (const { source } of parseCatalog(manifest('BpfMap'), file).maps.values()) {
        if (source.kind !== 'ownedWorkspace') continue;
        const { kind, namespace, name } = source.owner;
        named(kind, name, namespace);
        const pod = daemonSets.find(({ metadata }) => metadata.name === name)?.spec;
        const volume = pod?.volumes.find((each) => each.name === source.volume);
        const claim = volume?.ephemeral?.volumeClaimTemplate.spec ?? assert.fail('it has no such ephemeral volume');
        assert.equal(classOf(claim).parameters?.type, 'workspace');
      }
    });

    for (const { metadata, spec } of pods) {
      test(`has a pod ${metadata.name} that gets what it asks for`, () => {
        const { namespace = '' } = metadata;
        const { maps: catalog, delegations } = parseCatalog(manifest('BpfMap', 'BpfDelegation'), file);
        const grants = parseGrants(manifest('Role', 'RoleBinding'), file);
        const account = () => {
          const name = spec.serviceAccountName ?? assert.fail('a service account is needed');
          named('ServiceAccount', name, namespace);
          return name;
        };
        const granted = (maps: readonly MapRequest[]) => {
          const serviceAccount = account();
          for (const { name, verb } of maps) {
            const map = catalog.get(name) ?? assert.fail(`there is no BpfMap ${name}`);
            assert(
              grants.allowedBy(namespace, serviceAccount, name, verb),
              `${serviceAccount} may not ${verb} ${name}`,
            );
            if (verb === 'write') assert.equal(map.maxAccess, 'ReadWrite');
          }
        };
        for (const { csi, persistentVolumeClaim, ephemeral } of spec.volumes) {
          if (csi !== undefined) {
            assert.equal(csi.driver, DRIVER);
            const request = publishRequest((r) => {
              delete r.volumeContext.maps;
              Object.assign(r.volumeContext, csi.volumeAttributes);
            });
            const parsed = parsePublishRequest(request, request);
            if (parsed.type === 'maps') granted(parsed.maps);
            else if (parsed.type === 'delegation') {
              assert(delegations.has(parsed.delegation));
              assert(grants.allowedBy(namespace, account(), parsed.delegation, 'use'));
            } else assert.fail(parsed.type);
            continue;
          }
          const claim =
            persistentVolumeClaim === undefined
              ? ephemeral?.volumeClaimTemplate.spec
              : (named('PersistentVolumeClaim', persistentVolumeClaim.claimName, namespace).spec as Claim);
          const { parameters } = classOf(claim ?? assert.fail('neither csi nor a claim'));
          if (parameters?.maps !== undefined) granted(parseMapList(parameters.maps, 'parameters.maps'));
        }
        const names = spec.volumes.map(({ name }) => name);
        for (const { image, volumeMounts } of [...(spec.initContainers ?? []), ...spec.containers]) {
          assert.equal(image, `localhost/csi-driver-bpffs:${version}`);
          assert.deepEqual(
            volumeMounts.map(({ name }) => name),
            names,
          );
        }
      });
    }
  });
}
