/**
 * Modules, layers and losses, to write models; their parameters as safetensors.
 *
 * @module tilegrad/nn
 */
export * from '../../models/nn/index.ts'
