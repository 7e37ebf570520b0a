// What of a training is kept in files: values by name.
import type { Variable } from '../engine/index.ts'
import type { TensorData } from '../engine/tensor.ts'

/** What a file keeps: values by name. */
export interface ValueEntry {
  readonly name: string
  /** A variable, or a parameter wherever it is stored. */
  readonly variable: Pick<Variable, 'shape'> & {
    read(): Promise<TensorData>
    write(data: Float32Array<ArrayBuffer>, at?: number): Promise<void>
  }
}

/** What the state of an optimizer is on disk: names and variables. */
export interface StateEntry extends ValueEntry {
  readonly variable: Variable
}
