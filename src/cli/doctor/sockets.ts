import { lstat } from 'node:fs/promises';
import { connect } from 'node:net';
import { CallError, Code } from '../../errors.ts';
import type { CheckReport as Check } from '../../inspection/reports.ts';
import { createPinner } from '../../pinner/pinner.ts';
import { createKubelet } from '../kubelet.ts';
import type { DoctorConfig } from './config.ts';

const ANSWER_TIMEOUT_MS = 2000;

/** Whether the driver's processes run and answer. */
export async function socketChecks(config: DoctorConfig): Promise<readonly Check[]> {
  const checks = [
    await socketCheck('pinner', config.pinnerEndpoint, askPinner),
    await socketCheck('node plugin', config.endpoint, askNodePlugin),
  ];
  if (config.registrationSocket !== undefined) {
    checks.push(await socketCheck('registration', config.registrationSocket, askNothing));
  }
  return checks;
}

async function socketCheck(who: string, path: string, ask: (path: string) => Promise<string>): Promise<Check> {
  const what = `${who} at ${path}`;
  const found = await lstat(path).catch(() => undefined);
  if (found === undefined) return { state: 'warn', what, found: 'no socket: it is not running, or not here' };
  if (!found.isSocket()) return { state: 'fail', what, found: 'exists and is no socket: remove it' };
  const mode = `uid ${found.uid}, mode ${(found.mode & 0o777).toString(8).padStart(4, '0')}`;
  try {
    return { state: 'ok', what, found: `${await ask(path)} (${mode})` };
  } catch (error) {
    return { state: 'fail', what, found: `${error instanceof Error ? error.message : String(error)} (${mode})` };
  }
}

async function askPinner(path: string): Promise<string> {
  const pinner = createPinner(path);
  try {
    const { version } = await pinner.getNode({ deadline: Date.now() + ANSWER_TIMEOUT_MS });
    const { volumes } = await pinner.listVolumes({ deadline: Date.now() + ANSWER_TIMEOUT_MS });
    return `version ${version} answers, ${volumes.length} volumes`;
  } catch (error) {
    // It serves only the node plugin's uid, and this is a different one: all is well.
    if (error instanceof CallError && error.code === Code.PERMISSION_DENIED) return `answers: ${error.message}`;
    throw error;
  } finally {
    pinner.close();
  }
}

async function askNodePlugin(path: string): Promise<string> {
  const kubelet = createKubelet(path, '/');
  try {
    if (await kubelet.probe()) return 'answers and is ready';
    throw new Error('answers, but is not ready: its log or /readyz say why');
  } finally {
    kubelet.close();
  }
}

function askNothing(path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve('answers');
    });
    socket.on('error', reject);
  });
}
