import { connect, type Socket } from 'node:net';
import { execa } from 'execa';
import type { LocalNode } from '../../src/cli/local-node.ts';
import { CallError, Code } from '../../src/errors.ts';
import { createPinner } from '../../src/pinner/pinner.ts';
import { Access } from '../../src/rpc/pinner.ts';
import { mapProgram } from '../integration/node.ts';
import type { Actor } from './pods.ts';
import type { Random } from './random.ts';

/** The capabilities that container runtimes give root by default. */
const CONTAINER_ROOT =
  'chown,dac_override,fowner,fsetid,kill,setgid,setuid,setpcap,net_bind_service,net_raw,sys_chroot,mknod,audit_write,setfcap'
    .split(',')
    .map((name) => `+${name}`)
    .join();

/**
 * Tries, one after another, all that a pod must not be able to do in its volume; a workspace's owner may do some of it. No real
 * pod ever sees the directory below a volume, so this one leaves when it finds itself there. mountpoint(1) cannot tell, because
 * it looks at the path, where a volume may have been mounted since.
 */
const TRIES = `
cd "$1" && [ "$(stat -c %d .)" != "$(stat -c %d ..)" ] || exit 0
"$2" write flows 1 666
mkdir made; ln -s / link; : >file; mv flows moved; rm -f flows limits counts
chmod 0777 . flows limits; chown 65534 . flows; touch -d @0 flows limits .
mount -o remount,rw .; umount .; cat maps.debug ../*/maps.debug
i=0; while [ $i -lt 50 ]; do mkdir "d$i" && ln -s /etc/shadow "d$i/l"; i=$((i+1)); done
rm -rf made link file moved d*
true
`;

/** A pod that attacks its own volume, as nobody and as a container's root. */
export async function attackAsPod({ kubelet }: LocalNode, actor: Actor, random: Random): Promise<void> {
  const user = random.pick([['--reuid', '65534', '--regid', '65534', '--clear-groups'], []]);
  const capabilities = user.length === 0 ? `-all,${CONTAINER_ROOT}` : '-all';
  await execa(
    'setpriv',
    [
      ...[...user, '--no-new-privs', `--bounding-set=${capabilities}`, '--inh-caps=-all', '--'],
      ...['sh', '-c', TRIES, 'sh', kubelet.volumePath(actor.pod), mapProgram],
    ],
    { reject: false, timeout: 60_000, stdio: 'ignore' },
  );
}

/** A hostile caller of the pinner with the node plugin's uid. */
export async function attackAsPeer(node: LocalNode, random: Random): Promise<void> {
  await random.pick([sendNonsense, sendHalf, askNonsense])(node, random);
}

/** The pinner may close it first, or be killed. */
function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.once('close', () => resolve()));
}

async function sendNonsense({ pinnerSocket }: LocalNode, random: Random): Promise<void> {
  await Promise.all(
    Array.from({ length: 10 }, async () => {
      const socket = connect(pinnerSocket);
      socket.on('error', () => {});
      socket.write(random.bytes(1 + Math.floor(random.next() * 4096)));
      setTimeout(() => socket.destroy(), 50);
      await closed(socket);
    }),
  );
}

/** An HTTP/2 preface, settings and the headers of a call whose message never ends. */
async function sendHalf({ pinnerSocket }: LocalNode, random: Random): Promise<void> {
  const frame = (type: number, flags: number, stream: number, payload: Buffer) => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head.writeUInt8(type, 3);
    head.writeUInt8(flags, 4);
    head.writeUInt32BE(stream, 5);
    return Buffer.concat([head, payload]);
  };
  const text = (value: string) => Buffer.concat([Buffer.from([value.length]), Buffer.from(value)]);
  const header = (name: string, value: string) => Buffer.concat([Buffer.from([0]), text(name), text(value)]);
  const headers = Buffer.concat([
    header(':method', 'POST'),
    header(':scheme', 'http'),
    header(':path', '/bpffs.pinner.v1.Pinner/PublishVolume'),
    header(':authority', 'localhost'),
    header('content-type', 'application/grpc'),
    header('te', 'trailers'),
  ]);
  const body = Buffer.concat([Buffer.from([0, 0, 1, 0, 0]), random.bytes(1000)]);
  const socket = connect(pinnerSocket);
  socket.on('error', () => {});
  socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  socket.write(frame(4, 0, 0, Buffer.alloc(0)));
  for (let stream = 1; stream < 100; stream += 2) {
    socket.write(frame(1, 4, stream, headers));
    socket.write(frame(0, 0, stream, body));
  }
  setTimeout(() => socket.destroy(), 200);
  await closed(socket);
}

/** Complete requests for what nobody may have. None of them may succeed. */
async function askNonsense(node: LocalNode, random: Random): Promise<void> {
  const pinner = createPinner(node.pinnerSocket);
  const long = 'x'.repeat(5000);
  const targetPath = random.pick([
    '/etc',
    `${node.kubeletDirectory}/../etc`,
    `${node.kubeletDirectory}/pods`,
    node.kubeletDirectory,
    `${node.kubeletDirectory}/${long}`,
    '',
  ]);
  const volumeId = random.pick(['csi-1', '', '..', long, '\u0000', '\u202e']);
  const path = random.pick([
    '/etc/passwd',
    `${node.pins}/../../etc`,
    `${node.storeDirectory}/created/limits`,
    '/',
    long,
  ]);
  const map = {
    name: long,
    fileName: random.pick(['flows', '..', 'a/b', 'maps.debug', long]),
    access: Access.READ_WRITE,
    source: { pinned: { path } },
  };
  const maps = Array.from({ length: random.pick([0, 1, 300]) }, () => map);
  const request = { volumeId, targetPath, singleTarget: random.chance(0.5), request: '' };
  const limits = () => ({ deadline: Date.now() + 20_000 });
  const answers = await Promise.allSettled([
    pinner.publishVolume({ ...request, maps, userNamespace: random.chance(0.5), renew: random.chance(0.5) }, limits()),
    pinner.publishWorkspace({ ...request, readOnly: random.chance(0.5), claim: random.pick(['', long]) }, limits()),
    pinner.getVolumeStats({ volumeId, targetPath }, limits()),
    pinner.describeVolume({ volumeId, targetPath }, limits()),
    pinner.describeMap({ source: map.source }, limits()),
  ]);
  pinner.close();
  for (const answer of answers) {
    if (answer.status === 'fulfilled') throw new Error(`nonsense was answered: ${JSON.stringify(answer.value)}`);
    const { code, message } = CallError.from(answer.reason);
    if (code === Code.INTERNAL || code === Code.UNKNOWN) throw new Error(`nonsense is ${Code[code]}: ${message}`);
  }
}
