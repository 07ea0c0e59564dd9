import { fromJSON, type MethodDefinition, type PackageDefinition, type ServiceDefinition } from '@grpc/proto-loader';
import protobuf from 'protobufjs';
import { PROTO_OPTIONS } from './proto-options.ts';

/** Reads a message, and throws at its end as protobufjs should: its own reader takes what is left there for the whole. */
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

const packages = new Map<object, PackageDefinition>();

/**
 * The service of that name, with what writes and reads its messages. `descriptor`: of its .proto file, as generated. Whatever is read
 * is read whole, or throws.
 */
export function loadService<D extends object>(descriptor: object, name: string): D {
  const definitions = packages.get(descriptor) ?? fromJSON(descriptor, PROTO_OPTIONS);
  packages.set(descriptor, definitions);
  const methods = Object.entries(definitions[name] as ServiceDefinition);
  return Object.fromEntries(methods.map(([method, definition]) => [method, strict(definition)])) as D;
}

function strict(method: MethodDefinition<object, object>): MethodDefinition<object, object> {
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
