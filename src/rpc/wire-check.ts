import protobuf from 'protobufjs';
import { type FieldDescriptor, findIn } from './descriptor.ts';

/** Throws if bytes are not a valid message of one type. */
export type WireCheck = (bytes: Buffer) => void;

/** How a field is encoded. */
interface Field {
  readonly wireType: WireType;
  /** A number of at most 32 bits. */
  readonly isShort: boolean;
  /** The fields of a message; undefined: not a message. */
  readonly fields: Fields | undefined;
}

/** By field number. */
type Fields = Map<number, Field>;

/** https://protobuf.dev/programming-guides/encoding/#structure */
type WireType = (typeof WIRE_TYPE)[keyof typeof WIRE_TYPE];
const WIRE_TYPE = { number: 0, bytes: 2 } as const;
/** The types of numbers in the .proto files, besides enums. */
const NUMBERS = ['bool', 'int32', 'int64', 'uint32', 'uint64'];

/** A number of 32 bits has at most 5 bytes, or 10 if it is negative. */
const isShortNumber = (bytes: number) => bytes <= 5 || bytes === 10;

/**
 * Checks messages, because protobufjs does not reject malformed ones: it ignores wrong wire types, and accepts strings and numbers that are
 * cut off by the end of their message. `descriptor`: the generated one of a .proto file.
 */
export function createWireChecks(descriptor: object): (type: string) => WireCheck {
  const known = new Map<string, Fields>();

  function fieldsOf(type: string): Fields | undefined {
    const found = findIn(descriptor, type.slice(1));
    if (found?.fields === undefined) return undefined;
    let fields = known.get(type);
    if (fields === undefined) {
      fields = new Map();
      // Before its fields, because a message may contain itself.
      known.set(type, fields);
      for (const field of Object.values(found.fields)) fields.set(field.id, toField(field));
    }
    return fields;
  }

  function toField({ type, keyType, rule }: FieldDescriptor): Field {
    // A map is encoded as messages with key and value.
    const within =
      keyType === undefined
        ? fieldsOf(type)
        : new Map([keyType, type].map((one, index) => [index + 1, toField({ id: index + 1, type: one })]));
    const isNumber = within === undefined && (type.startsWith('.') || NUMBERS.includes(type));
    if (within === undefined && type !== 'string' && (!isNumber || rule !== undefined))
      throw new TypeError(`how ${rule ?? ''} ${type} is sent is not known here`);
    const wireType = isNumber ? WIRE_TYPE.number : WIRE_TYPE.bytes;
    return { wireType, isShort: !type.endsWith('64'), fields: within };
  }

  return (type) => {
    const fields = fieldsOf(type);
    if (fields === undefined) throw new TypeError(`no .proto file has a message ${type}`);
    return (bytes) => checkFields(new protobuf.BufferReader(bytes), fields, bytes.length);
  };
}

function checkFields(reader: protobuf.Reader, fields: Fields, end: number): void {
  while (reader.pos < end) {
    const tag = reader.uint32();
    const [number, wireType] = [tag >>> 3, tag & 7];
    const field = fields.get(number);
    if (number === 0) throw new RangeError('no field has number 0');
    if (field !== undefined && field.wireType !== wireType)
      throw new RangeError(`field ${number} has wire type ${wireType}`);
    const start = reader.pos;
    if (field?.fields === undefined) reader.skipType(wireType);
    else checkFields(reader, field.fields, reader.uint32() + reader.pos);
    if (field?.isShort && wireType === WIRE_TYPE.number && !isShortNumber(reader.pos - start))
      throw new RangeError(`field ${number} is a number of ${reader.pos - start} bytes`);
  }
  if (reader.pos !== end) throw new RangeError(`a message ends ${reader.pos - end} bytes after its end`);
}
