import { join } from 'node:path';
import { execa } from 'execa';
import { parseAllDocuments } from 'yaml';

export const CHART = new URL('../../deploy/chart/', import.meta.url).pathname;
export const MANIFEST = new URL('../../deploy/csi-driver-bpffs.yaml', import.meta.url).pathname;
export const NAMESPACE = 'csi-driver-bpffs';

/** Any object of a manifest. */
export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Record<string, string>;
    readonly annotations?: Record<string, string>;
  };
  readonly [field: string]: unknown;
}

/** The output of `helm template` for the chart with these values, without the objects of `helm test`. Throws helm's error. */
export async function render(values: object = {}, ...flags: readonly string[]): Promise<string> {
  const command = ['template', 'csi-driver-bpffs', CHART, `--namespace=${NAMESPACE}`, '--include-crds', '--skip-tests'];
  const args = [...command, '--values=-', ...flags];
  const { stdout } = await execa(join(import.meta.dirname, 'bin', 'helm'), args, { input: JSON.stringify(values) });
  return `${stdout}\n`;
}

/** The objects that `helm test` creates with these values, in its order. */
export async function renderTests(values: object = {}): Promise<readonly Manifest[]> {
  const objects = parseManifest(await render(values, '--skip-tests=false', '--show-only=templates/test-*.yaml'));
  const weight = ({ metadata }: Manifest) => Number(metadata.annotations?.['helm.sh/hook-weight']);
  return objects.toSorted((one, other) => weight(one) - weight(other));
}

/** What MANIFEST should contain. */
export async function renderManifest(): Promise<string> {
  // Older clusters do not know the field, nor the kind MutatingAdmissionPolicy.
  const newer = { serviceAccountTokenInSecrets: false, admission: { setHostUsers: false } };
  const rendered = await render({ namespace: { create: true }, ...newer });
  // Helm does not manage these objects.
  const unmanaged = rendered
    .replace(/^ *(helm\.sh\/chart|app\.kubernetes\.io\/managed-by): .*\n/gm, '')
    .replace(/^# Source: .*\n/gm, '');
  return `# csi-driver-bpffs for kubectl apply --server-side --filename: made from deploy/chart by \`make manifests\`.\n${unmanaged}`;
}

/** The objects of a manifest. */
export function parseManifest(text: string): readonly Manifest[] {
  return parseAllDocuments(text).flatMap((document) => {
    if ('errors' in document && document.errors.length > 0) throw document.errors[0];
    const object: Manifest | null = document.toJS();
    return object === null ? [] : [object];
  });
}
