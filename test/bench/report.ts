import { markdownTable, type Row } from './markdown-table.ts';
import type { CallFigures } from './measure-calls.ts';
import type { MapFigures } from './measure-maps.ts';
import type { PinnerFigures } from './measure-pinner.ts';
import { PRESENT, type PresentFigures } from './measure-present.ts';
import type { ProcessFigures } from './measure-processes.ts';
import { MAPS, SHAPES } from './shape.ts';
import { atMost, countMet, TARGETS } from './target.ts';

/** What was measured. Lists have an element for each of SHAPES, `present` two, `maps` one for each of MAP_COUNTS. */
export interface Measured {
  readonly cores: number;
  readonly publishes: number;
  readonly calls: readonly CallFigures[];
  readonly present: readonly PresentFigures[];
  readonly pinner: readonly PinnerFigures[];
  readonly maps: readonly MapFigures[];
  readonly processes: Readonly<Record<'pinner' | 'nodePlugin', ProcessFigures>>;
}

/** A question, and the table that answers it. */
interface Answer {
  readonly question: string;
  readonly rows: readonly Row[];
}

/** The tables of a run, in Markdown. */
export function report(measured: Measured): string {
  const answers = [
    beside('publish', TARGETS.publishOfEmpty, measured.calls),
    beside('unpublish', TARGETS.unpublishOfEmpty, measured.calls),
    beside('republish', TARGETS.republishOfEmpty, measured.calls),
    present(measured.present),
    pinner(measured.pinner),
    maps(measured.maps),
    processes(measured),
  ];
  const { met, all } = countMet(answers.flatMap(({ rows }) => rows));
  return [
    `Measured on ${measured.cores} cores, which the client shares with the driver. Targets met: ${met} of ${all}.`,
    ...answers.flatMap(({ question, rows }) => [question, markdownTable(rows)]),
  ].join('\n\n');
}

const QUESTIONS = {
  publish: 'A publish beside an empty call, µs:',
  unpublish: 'An unpublish beside an empty call, µs:',
  republish: 'An unchanged republish beside an empty call, µs:',
} as const;

function beside(call: keyof typeof QUESTIONS, target: number, figures: readonly CallFigures[]): Answer {
  const rows = perShape(figures, (of) => ({
    'empty call': of.empty,
    [call]: of[call],
    ...(call === 'publish' ? { '99th percentile': of.ninetyNinth } : {}),
    'of empty': of[`${call}OfEmpty`],
    ...atMost(of[`${call}OfEmpty`], target),
  }));
  return { question: QUESTIONS[call], rows };
}

function present(figures: readonly PresentFigures[]): Answer {
  const shapes = SHAPES.flatMap((shape) => [
    { ...shape, call: 'publish' },
    { ...shape, call: 'unpublish' },
  ]);
  const rows = figures.map((of, index) => ({
    ...shapes[index],
    'no other volume': of.none,
    [`${PRESENT.toLocaleString('en')} others`]: of.present,
    'of none': of.presentOfNone,
    ...atMost(of.presentOfNone, TARGETS.presentOfNone),
  }));
  return { question: 'With other volumes on the node, µs:', rows };
}

function pinner(figures: readonly PinnerFigures[]): Answer {
  const rows = perShape(figures, ({ bare, rpc, rpcOfBare }) => ({
    'system calls': bare,
    pinner: rpc,
    'of system calls': rpcOfBare,
    ...atMost(rpcOfBare, TARGETS.pinnerOfBare),
  }));
  return { question: 'A pair of publish and unpublish of the pinner beside the bare system calls, µs:', rows };
}

function maps(figures: readonly MapFigures[]): Answer {
  const rows = figures.map((of) => ({
    maps: of.maps,
    'publish ro': of.readOnlyPublish,
    'publish rw': of.writablePublish,
    'unpublish ro': of.readOnlyUnpublish,
    'unpublish rw': of.writableUnpublish,
  }));
  return { question: 'Volumes with other numbers of maps, one caller, µs:', rows };
}

function processes({ processes: { pinner, nodePlugin }, publishes }: Measured): Answer {
  const row = (process: string, of: ProcessFigures, target: number): Row => ({
    process,
    'start to first answer, ms': of.startMilliseconds,
    'CPU of a call, ms': of.cpuMilliseconds,
    'MiB at start': of.idleMebibytes,
    [`MiB after ${publishes.toLocaleString('en')} publishes`]: of.mebibytes,
    ...atMost(of.mebibytes, target),
  });
  return {
    question: `The processes; the target is for the memory. Volumes with ${MAPS} maps:`,
    rows: [row('node plugin', nodePlugin, TARGETS.nodePluginMebibytes), row('pinner', pinner, TARGETS.pinnerMebibytes)],
  };
}

function perShape<F>(figures: readonly F[], columns: (figures: F) => Row): readonly Row[] {
  return SHAPES.flatMap((shape, index) => {
    const found = figures[index];
    return found === undefined ? [] : [{ ...shape, ...columns(found) }];
  });
}
