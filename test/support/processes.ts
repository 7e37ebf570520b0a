// In which process a test file runs. A few processes run most files, one after the other: modules are loaded once, and
// kernels that one file compiled are there for the next. Files that would disturb others, or be disturbed, get a process
// of their own.

/** Files that run beside nothing else: they measure the process's memory, which other work on the machine changes. */
export const ALONE: readonly string[] = ['test/train/memory.test.ts']

/** Files that compile thousands of kernels which they share with each other, and with few others. */
export const GRADCHECK: readonly string[] = ['test/gradcheck/**/*.test.ts']

export const OWN_PROCESS: readonly string[] = [
  // Devices that refuse, fail, are lost or are opened without Node; what garbage collection leaves of them.
  'test/engine/{node,runtime}/*.test.ts',
  'test/engine/{finalization,refused}.test.ts',
  // These tell Mesa's drivers, before they are loaded, not to optimise.
  'test/engine/dropout.test.ts',
  'test/shaders/*.test.ts',
  // They change where the network is, or measure memory.
  'test/models/node/network.test.ts',
  'test/train/node/data/limits.test.ts',
]
