/**
 * What needs Node: adapters, folders of models, the Hugging Face Hub, and checkpoints on disk.
 *
 * @module tilegrad/node
 */
export * from '../../train/node/index.ts'
