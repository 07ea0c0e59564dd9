import { type CallError, notFound } from '../errors.ts';
import { didYouMean } from './nearest.ts';

/** NOT_FOUND, with those of `names`, all BpfMaps, that were probably meant. */
export function noSuchMap(name: string, names: Iterable<string>): CallError {
  return notFound(`there is no BpfMap "${name}"${didYouMean(name, names)}`);
}
