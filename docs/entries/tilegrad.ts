/**
 * Tensors, gradients, compiled functions, and devices.
 *
 * @module tilegrad
 */
export * from '../../engine/index.ts'
