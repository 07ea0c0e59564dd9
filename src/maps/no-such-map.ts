import { type CallError, notFound } from '../errors.ts';
import { didYouMean } from './nearest.ts';

/** NOT_FOUND, with those of `names`, all BpfMaps, that were probably meant. */
export function noSuchMap(name: string, names: Iterable<string>): CallError {
  const remedy = didYouMean(name, names) || ': correct the name, or ask a cluster administrator for this BpfMap';
  return notFound(`there is no BpfMap "${name}"${remedy}`);
}
