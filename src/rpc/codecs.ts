import { fromJSON, type MethodDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';
import { PROTO_OPTIONS } from './proto-options.ts';

/** Reads a message whole, or throws. protobufjs's own reader takes of a text or number what is left of it at the message's end. */
class StrictReader extends protobuf.BufferReader {
  override string(): string {
    const length = this.uint32();
    const end = this.pos + length;
    if (end > this.len) throw new RangeError(`a text ends ${end - this.len} bytes after its message`);
    const text = (this.buf as Buffer).toString('utf8', this.pos, end);
    this.pos = end;
    return text;
  }

  override int64() {
    return this.whole(super.int64());
  }

  override uint64() {
    return this.whole(super.uint64());
  }

  private whole<T>(value: T): T {
    if (this.pos <= this.len && (this.buf[this.pos - 1] ?? 0) < 0x80) return value;
    throw new RangeError('a number ends after its message');
  }
}

/** What has been made, by its .proto file's descriptor. */
const packages = new Map<object, Readonly<Record<string, object>>>();

/** The service of that name, with what writes and reads its messages. `descriptor`: of its .proto file, as generated. */
export function loadService<D extends object>(descriptor: object, name: string): D {
  const services = packages.get(descriptor) ?? load(descriptor);
  packages.set(descriptor, services);
  return services[name] as D;
}

function load(descriptor: object): Readonly<Record<string, object>> {
  const services: Record<string, object> = {};
  for (const [name, definition] of Object.entries(fromJSON(descriptor, PROTO_OPTIONS))) {
    // The others are messages and enums.
    if (!('format' in definition)) services[name] = toService(definition as ServiceDefinition);
  }
  return services;
}

/** Without the descriptors that proto-loader puts beside the codecs, which nobody reads here. */
function toService(definition: ServiceDefinition): object {
  return Object.fromEntries(
    Object.entries(definition).map(([name, { requestType: _, responseType: __, ...method }]) => [name, strict(method)]),
  );
}

type Method = Omit<MethodDefinition<object, object>, 'requestType' | 'responseType'>;

function strict(method: Method): Method {
  const reading =
    <T>(read: (message: Buffer) => T) =>
    (bytes: Buffer) =>
      // protobufjs takes a reader in place of bytes.
      read(new StrictReader(bytes) as unknown as Buffer);
  return {
    ...method,
    requestDeserialize: reading(method.requestDeserialize),
    responseDeserialize: reading(method.responseDeserialize),
  };
}
