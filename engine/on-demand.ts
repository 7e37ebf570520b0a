// Modules that are loaded when they are first needed: the kernels of ops that few programs use are not among what a page
// loads before it computes anything.

/** A module that may not be loaded yet. */
export class OnDemand<Module> {
  readonly #import: () => Promise<Module>
  #module: Module | undefined

  /** `load` is a dynamic `import()`, written out so that bundlers see it. */
  constructor(load: () => Promise<Module>) {
    this.#import = load
  }

  get isLoaded(): boolean {
    return this.#module !== undefined
  }

  async load(): Promise<void> {
    this.#module ??= await this.#import()
  }

  /** The module. Throws if it is not loaded. */
  get module(): Module {
    if (!this.#module) throw new Error('the kernels of an op are used before they are loaded')
    return this.#module
  }
}
