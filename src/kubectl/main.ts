import { Command, CommanderError } from 'commander';
import { BadConfiguration, CallError } from '../errors.ts';
import { version } from '../version.ts';
import { canCommand, denialsCommand, doctorCommand, statusCommand, topCommand, whoCommand } from './commands.ts';
import { completeCommand } from './complete.ts';
import { graphCommand } from './graph-command.ts';

/** As kubectl's plugins are called; kubectl finds kubectl-bpffs on the PATH. */
const program = new Command('kubectl bpffs')
  .description('shows which pods use which eBPF maps, who may have them, and how the driver does on every node')
  .version(version)
  .addHelpText(
    'after',
    '\nExit code: 0 done; 1 failed, or the answer is no (can, doctor); 3 some nodes did not answer; 64 wrong usage.',
  );
for (const command of [
  whoCommand,
  canCommand,
  statusCommand,
  denialsCommand,
  topCommand,
  doctorCommand,
  graphCommand,
]) {
  program.addCommand(command());
}
program.addCommand(completeCommand(program), { hidden: true });

for (const command of [program, ...program.commands]) {
  command
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(`kubectl bpffs: ${text.replace(/^error: /, '')}`) });
}

/** EX_USAGE of sysexits.h. */
const USAGE = 64;

program.parseAsync().then(
  // Idle connections would keep the process for a while. What was written may still be on its way through a pipe.
  () => void process.stdout.write('', () => process.exit()),
  (error: unknown) => {
    if (error instanceof BadConfiguration) {
      for (const problem of error.problems) process.stderr.write(`kubectl bpffs: ${problem}\n`);
      process.exit(USAGE);
    }
    if (error instanceof CallError) {
      process.stderr.write(`kubectl bpffs: ${error.message}\n`);
      process.exit(1);
    }
    if (!(error instanceof CommanderError)) throw error;
    process.exit(error.exitCode === 0 ? 0 : USAGE);
  },
);
