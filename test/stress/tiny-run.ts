// The run that stress tests disturb: a tiny model, 80 steps, a checkpoint after each, the best three of 12 evaluations
// kept.
import type { Workplace } from '../support/command.ts'

export const STEPS = 80

export const argumentsOf = (place: Workplace): string[] => [
  '--model',
  place.model,
  '--data',
  place.reviews,
  '--max-length',
  '8',
  '--batch-size',
  '2',
  '--epochs',
  '2',
  '--limit-train',
  '96',
  '--val-split',
  '16',
  '--lora-targets',
  'query,value',
  '--lora-alpha',
  '16',
  '--lora-dropout',
  '0.1',
  '--lr',
  '5e-3',
  '--checkpoint-every',
  '0',
  '--tune-kernels',
  'off',
  '--evaluate-every',
  '7',
  '--keep-best',
  '3',
  '--out',
  'run',
]
