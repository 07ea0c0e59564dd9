import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline/promises';
import { execa } from 'execa';

const BIN = join(import.meta.dirname, 'bin');

/** A server of Prometheus, on a loopback address. */
export interface Prometheus extends AsyncDisposable {
  /** The series that an expression has at this moment, as their labels. Throws what the server says of one that it cannot evaluate. */
  query(expression: string): Promise<readonly Readonly<Record<string, string>>[]>;
}

/** Scrapes once a second. `targets`: "host:port", by the name of the node, which all series of a target have as a label. */
export async function startPrometheus(targets: Readonly<Record<string, string>>): Promise<Prometheus> {
  const directory = await mkdtemp(join(tmpdir(), 'csi-driver-bpffs-prometheus-'));
  const config = {
    global: { scrape_interval: '1s', scrape_timeout: '1s' },
    scrape_configs: Object.entries(targets).map(([node, target]) => ({
      job_name: node,
      static_configs: [{ targets: [target], labels: { node } }],
    })),
  };
  const file = join(directory, 'prometheus.yaml');
  await writeFile(file, JSON.stringify(config));
  const server = execa(
    join(BIN, 'prometheus'),
    [`--config.file=${file}`, `--storage.tsdb.path=${directory}/data`, '--web.listen-address=127.0.0.1:0'],
    { reject: false, stdout: 'ignore', buffer: false, forceKillAfterDelay: 5000 },
  );
  const stop = async () => {
    server.kill();
    await server;
    await rm(directory, { recursive: true, force: true });
  };
  try {
    const address = await listening(server.stderr);
    // It goes on logging.
    server.stderr.resume();
    return {
      async query(expression) {
        const response = await fetch(`http://${address}/api/v1/query?${new URLSearchParams({ query: expression })}`);
        const { data, error } = (await response.json()) as Answer;
        if (data === undefined) throw new Error(`${expression}: ${error}`);
        return data.result.map(({ metric }) => metric);
      },
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries */
interface Answer {
  readonly data?: { readonly result: readonly { readonly metric: Readonly<Record<string, string>> }[] };
  readonly error?: string;
}

async function listening(log: NodeJS.ReadableStream): Promise<string> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: log })) {
    const [, address] = /msg="Listening on" address=(\S+)/.exec(line) ?? [];
    if (address !== undefined) return address;
    lines.push(line);
  }
  throw new Error(`Prometheus did not start:\n${lines.join('\n')}`);
}
