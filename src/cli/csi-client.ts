import { type Client, credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { CallError } from '../errors.ts';

const CALL_TIMEOUT_MS = 10_000;

type Method<Req, Res> = (
  request: Req,
  metadata: Metadata,
  options: { deadline: number },
  done: (error: ServiceError | null, response: Res) => void,
) => unknown;

/** A client of a CSI socket that reconnects quickly when the server comes back. */
export function createCsiClient<C extends Client>(
  Kind: new (...args: ConstructorParameters<typeof Client>) => C,
  socket: string,
): C {
  return new Kind(`unix://${socket}`, credentials.createInsecure(), {
    'grpc.default_authority': 'localhost',
    'grpc.initial_reconnect_backoff_ms': 20,
    'grpc.max_reconnect_backoff_ms': 100,
  });
}

/** Calls a method of a client. Errors are thrown as CallErrors; after ten seconds, DEADLINE_EXCEEDED. */
export function call<Req, Res>(client: Client, method: Method<Req, Res>, request: Req): Promise<Res> {
  return new Promise((resolve, reject) => {
    method.call(client, request, new Metadata(), { deadline: Date.now() + CALL_TIMEOUT_MS }, (error, response) =>
      error === null ? resolve(response) : reject(CallError.from(error)),
    );
  });
}
