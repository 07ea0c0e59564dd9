import { distance } from 'fastest-levenshtein';
import { quote } from '../text.ts';

/**
 * At most three of `words` that may have been meant by `word`, nearest first: those within a few typing errors, and those where one is the
 * beginning of the other.
 */
export function nearest(word: string, words: Iterable<string>): readonly string[] {
  const few = Math.max(2, Math.floor(word.length / 3));
  const near: { readonly candidate: string; readonly errors: number }[] = [];
  for (const candidate of words) {
    const errors = distance(word, candidate);
    if (errors <= few || candidate.startsWith(word) || word.startsWith(candidate)) near.push({ candidate, errors });
  }
  near.sort((a, b) => a.errors - b.errors || (a.candidate < b.candidate ? -1 : 1));
  return near.slice(0, 3).map(({ candidate }) => candidate);
}

/** `; did you mean "flows" or "flows-v2"?`; empty when no word is near. */
export function didYouMean(word: string, words: Iterable<string>): string {
  const near = nearest(word, words).map(quote);
  return near.length === 0 ? '' : `; did you mean ${near.join(' or ')}?`;
}
