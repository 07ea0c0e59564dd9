import { Command, type Option } from 'commander';
import { listBpfMaps, listDelegationNames } from './bpf-maps.ts';
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
      const list = typeof found === 'string' ? await namesOf(found).catch(() => []) : found;
      const last = words.at(-1) ?? '';
      const fitting = list.filter((candidate) => candidate.startsWith(last));
      process.stdout.write(`${[...fitting, NO_FILES].join('\n')}\n`);
    });
}

type Kind = 'maps' | 'delegations';

/** What may come in place of the last of `words`; "maps": the name of a BpfMap, "delegations": of a BpfDelegation. */
export function candidates(program: Command, words: readonly string[]): readonly string[] | Kind {
  const [first, ...rest] = words;
  const visible = program.commands.map((command) => command.name()).filter((name) => !name.startsWith('_'));
  if (rest.length === 0) return visible;
  const command = program.commands.find((one) => one.name() === first);
  if (command === undefined) return [];
  const option = optionOf(command, rest.at(-2));
  if (option?.required) return option.argChoices ?? [];
  if (rest.at(-1)?.startsWith('-')) return command.options.map(({ long, short }) => long ?? short ?? '');
  const given = rest.slice(0, -1);
  const values = given.filter((word, index) => {
    const isValue = optionOf(command, given[index - 1])?.required ?? false;
    return !word.startsWith('-') && !isValue;
  });
  const argument = command.registeredArguments[values.length]?.name();
  if (argument === 'map') return 'maps';
  if (argument === 'object') return values.at(-1) === 'use' ? 'delegations' : 'maps';
  return argument === 'verb' ? ['read', 'write', 'use'] : [];
}

function optionOf(command: Command, word: string | undefined): Option | undefined {
  return command.options.find(({ long, short }) => word !== undefined && (long === word || short === word));
}

async function namesOf(kind: Kind): Promise<readonly string[]> {
  const asKubectl = { kubeconfig: undefined, context: undefined, as: undefined };
  const flags = { ...asKubectl, driverNamespace: '', nodes: [], timeoutMs: TIMEOUT_MS };
  const session = await openSession(flags);
  try {
    if (kind === 'delegations') return await listDelegationNames(session.client);
    return (await listBpfMaps(session.client)).map(({ name }) => name);
  } finally {
    session.close();
  }
}
