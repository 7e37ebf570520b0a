// The run that stress tests disturb: a tiny model, 80 steps, a checkpoint after each, the best three of 12 evaluations
// kept.
import { type Workplace, tinyRun } from '../support/command.ts'

export const STEPS = 80

export const argumentsOf = (place: Workplace): string[] => [
  ...tinyRun(place),
  ...['--batch-size', '2', '--lora-dropout', '0.1', '--checkpoint-every', '0', '--evaluate-every', '7'],
  ...['--keep-best', '3'],
]
