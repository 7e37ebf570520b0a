// Keeps a sweep's queue filled: proposes trials, and sends those that wait. Any process may do it at any time: a
// proposal is made from one revision of the list of trials, and dropped where another process was faster.
import { propose } from '../../../search/propose.ts'
import { hasEnded } from '../../../search/settings.ts'
import type { TrialQueue } from './queue.ts'
import type { SweepRecord, SweepStore } from './store.ts'

/** More settings than any search has. */
const ALL = 1_000_000

/** Adds the trials that the search proposes for this number of workers, and queues those that wait. */
export async function advance(
  store: SweepStore,
  queue: TrialQueue,
  sweep: SweepRecord,
  workers: number,
): Promise<void> {
  if (!sweep.proposed) await proposeMore(store, sweep, workers)
  await queue.send(store, sweep.id)
}

async function proposeMore(store: SweepStore, sweep: SweepRecord, workers: number): Promise<void> {
  const { spec } = sweep.plan
  const history = await store.trials(sweep.id)
  const open = history.filter(trial => !hasEnded(trial)).length
  // An estimator learns from each trial, so it proposes no more than there are workers; others say all at once.
  const wanted = spec.search === 'tpe' ? Math.ceil((Math.max(1, workers) - open) / spec.seeds.length) : ALL
  if (wanted <= 0) return
  const proposals = propose(spec, history, wanted)
  await store.addTrials(sweep, proposals, proposals.length < wanted)
}
