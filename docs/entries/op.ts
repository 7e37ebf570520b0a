/**
 * Ops and kernels of your own.
 *
 * @module tilegrad/op
 */
export * from '../../engine/op.ts'
