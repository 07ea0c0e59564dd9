import { realpathSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command, CommanderError } from 'commander';
import { controllerCommand, demoCommand, doctorCommand, nodeCommand, releaseMapCommand } from './config/commands.ts';
import { BadConfiguration, CallError } from './errors.ts';
import { version } from './version.ts';

/** EX_USAGE of sysexits.h. */
const BAD_CONFIGURATION = 64;

/** The installation directory; this file is in its dist/. */
const root = dirname(dirname(realpathSync(process.argv[1] ?? '')));

// Each command's module is loaded only when that command runs, which keeps start-up time and memory low.
const program = new Command('csi-driver-bpffs')
  .description('gives a pod a volume with exactly the eBPF maps it may use')
  .version(version)
  .addCommand(
    nodeCommand(async (config) => {
      const { runNodePlugin } = await import('./node/node-plugin.ts');
      await runNodePlugin(config, root);
    }),
  )
  .addCommand(
    controllerCommand(async (config) => {
      const { runController } = await import('./controller/controller.ts');
      await runController(config);
    }),
  )
  .addCommand(
    demoCommand(async (directory) => {
      const { demo, demoInNamespace } = await import('./cli/demo.ts');
      await (directory === undefined ? demo(root) : demoInNamespace(root, directory));
    }),
  )
  .addCommand(
    releaseMapCommand(async (config) => {
      const { releaseMap } = await import('./cli/release-map.ts');
      await releaseMap(config);
    }),
  )
  .addCommand(
    doctorCommand(async (config) => {
      const { doctor } = await import('./cli/doctor.ts');
      process.exitCode = (await doctor(root, config)) ? 0 : 1;
    }),
  );

for (const command of [program, ...program.commands]) {
  command
    .exitOverride()
    .showSuggestionAfterError(false)
    .configureOutput({ outputError: (text, write) => write(`csi-driver-bpffs: ${text.replace(/^error: /, '')}`) });
}

program.parseAsync().catch((error: unknown) => {
  if (error instanceof BadConfiguration) {
    for (const problem of error.problems) process.stderr.write(`csi-driver-bpffs: ${problem}\n`);
    process.exit(BAD_CONFIGURATION);
  }
  if (error instanceof CallError) {
    process.stderr.write(`csi-driver-bpffs: ${error.message}\n`);
    process.exit(1);
  }
  if (!(error instanceof CommanderError)) throw error;
  process.exit(error.exitCode === 0 ? 0 : BAD_CONFIGURATION);
});
