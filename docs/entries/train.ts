/**
 * Optimizers, data loaders, `Trainer`, tasks, and schedules.
 *
 * @module tilegrad/train
 */
export * from '../../train/index.ts'
