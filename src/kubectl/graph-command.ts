import { writeFile } from 'node:fs/promises';
import { Command } from 'commander';
import { BadConfiguration } from '../errors.ts';
import type { DenialsReport, VolumesReport } from '../inspection/reports.ts';
import { isForbidden } from './ask-nodes.ts';
import { listBpfMaps, sourceText } from './bpf-maps.ts';
import { checked, withFlags } from './flags.ts';
import { type CatalogedMap, toGraph } from './graph/model.ts';
import { graphPage } from './graph/page.ts';
import { inSession, tellUnanswered } from './run.ts';
import type { Session } from './session.ts';

/** `kubectl bpffs graph [FILE]` */
export function graphCommand(): Command {
  return withFlags(new Command('graph'))
    .summary('draw loaders, maps, service accounts and pods as an HTML page')
    .description('draw where maps come from, who uses them and who was refused, as one HTML file that opens offline')
    .argument('[file]', 'the file to write', 'bpffs-graph.html')
    .action(async (file: string, parsed) => {
      await inSession(checked(parsed), async (session) => {
        const bpfMaps = await catalogOf(session);
        const nodes: { node: string; volumes?: VolumesReport; denials?: DenialsReport; error?: string }[] = [];
        const { asked, unanswered } = await session.ask(['volumes', 'denials'], ({ volumes, denials }) => {
          nodes.push({ node: volumes.node, volumes, denials });
        });
        nodes.push(...unanswered);
        nodes.sort((a, b) => (a.node < b.node ? -1 : 1));
        const graph = toGraph({ cluster: session.cluster, time: new Date().toISOString(), bpfMaps, nodes });
        await writeFile(file, graphPage(graph)).catch((error: Error) => {
          throw new BadConfiguration([`cannot write ${file}: ${error.message}`]);
        });
        process.stdout.write(
          `${file} shows ${graph.pods.length} pods; ${asked - unanswered.length} of ${asked} nodes answered\n`,
        );
        tellUnanswered(unanswered);
      });
    });
}

/** Undefined: whoever asks may not list BpfMaps. */
async function catalogOf({ client }: Session): Promise<readonly CatalogedMap[] | undefined> {
  try {
    const maps = await listBpfMaps(client);
    return maps.map(({ name, source, maxAccess }) => ({ name, source: sourceText(source), maxAccess }));
  } catch (error) {
    if (isForbidden(error)) return undefined;
    throw error;
  }
}
