import { Command, type Option } from 'commander';
import { listBpfMaps } from './bpf-maps.ts';
import { openSession } from './session.ts';

/** The shell shall not complete file names: https://github.com/spf13/cobra/blob/v1.10.1/completions.go (ShellCompDirectiveNoFileComp) */
const NO_FILES = ':4';
/** A shell waits. */
const TIMEOUT_MS = 3000;

/**
 * The hidden command behind kubectl_complete-bpffs: prints what may come in place of the last word, one a line, and a directive for the
 * shell. https://kubernetes.io/docs/tasks/extend-kubectl/kubectl-plugins/#completion
 */
export function completeCommand(program: Command): Command {
  return new Command('__complete')
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
    .action(async (words: readonly string[]) => {
      const found = candidates(program, words);
      const list = found === 'maps' ? await mapNames().catch(() => []) : found;
      const last = words.at(-1) ?? '';
      const fitting = list.filter((candidate) => candidate.startsWith(last));
      process.stdout.write(`${[...fitting, NO_FILES].join('\n')}\n`);
    });
}

/** What may come in place of the last of `words`; "maps": the name of a BpfMap. */
export function candidates(program: Command, words: readonly string[]): readonly string[] | 'maps' {
  const [first, ...rest] = words;
  const visible = program.commands.map((command) => command.name()).filter((name) => !name.startsWith('_'));
  if (rest.length === 0) return visible;
  const command = program.commands.find((one) => one.name() === first);
  if (command === undefined) return [];
  const option = optionOf(command, rest.at(-2));
  if (option?.required) return option.argChoices ?? [];
  if (rest.at(-1)?.startsWith('-')) return command.options.map(({ long, short }) => long ?? short ?? '');
  const given = rest.slice(0, -1);
  const position = given.filter((word, index) => {
    const isValue = optionOf(command, given[index - 1])?.required ?? false;
    return !word.startsWith('-') && !isValue;
  }).length;
  const argument = command.registeredArguments[position]?.name();
  if (argument === 'map') return 'maps';
  return argument === 'verb' ? ['read', 'write'] : [];
}

function optionOf(command: Command, word: string | undefined): Option | undefined {
  return command.options.find(({ long, short }) => word !== undefined && (long === word || short === word));
}

async function mapNames(): Promise<readonly string[]> {
  const asKubectl = { kubeconfig: undefined, context: undefined, as: undefined };
  const flags = { ...asKubectl, driverNamespace: '', nodes: [], timeoutMs: TIMEOUT_MS };
  const session = await openSession(flags);
  try {
    return (await listBpfMaps(session.client)).map(({ name }) => name);
  } finally {
    session.close();
  }
}
