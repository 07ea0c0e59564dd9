/** Something with a height that wants its middle at some place. */
export interface Wish {
  readonly height: number;
  readonly middle: number;
}

/**
 * The top of each thing: in this order, `gap` apart, between 0 and `total`, as near to the wishes as possible. Things that are in each
 * other's way form a block, which goes to the mean of their wishes.
 */
export function spread(wishes: readonly Wish[], gap: number, total: number): readonly number[] {
  const blocks: Block[] = [];
  for (const { height, middle } of wishes) {
    let block: Block = { count: 1, sum: middle - height / 2, height, offsets: [0] };
    for (
      let above = blocks.at(-1);
      above && topOf(above, total) + above.height + gap > topOf(block, total);
      above = blocks.at(-1)
    ) {
      blocks.pop();
      block = joined(above, block, gap);
    }
    blocks.push(block);
  }
  return blocks.flatMap((block) => block.offsets.map((offset) => topOf(block, total) + offset));
}

interface Block {
  readonly count: number;
  /** Of the tops that the block would have if it followed each of its wishes. */
  readonly sum: number;
  readonly height: number;
  readonly offsets: readonly number[];
}

const topOf = ({ sum, count, height }: Block, total: number) => Math.max(0, Math.min(sum / count, total - height));

function joined(above: Block, below: Block, gap: number): Block {
  const offset = above.height + gap;
  return {
    count: above.count + below.count,
    sum: above.sum + below.sum - below.count * offset,
    height: offset + below.height,
    offsets: [...above.offsets, ...below.offsets.map((one) => one + offset)],
  };
}
