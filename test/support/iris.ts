// Fisher's irises (R. A. Fisher 1936, "The Use of Multiple Measurements in Taxonomic Problems", by way of the UCI Machine
// Learning Repository, CC BY 4.0): 150 flowers of three species, four lengths of each in centimetres.
import { readFileSync } from 'node:fs'
import { stream } from '../../train/random.ts'

export interface Flower {
  /** Standardised over all flowers. */
  readonly lengths: readonly number[]
  /** 0, 1 or 2 */
  readonly species: number
}

/** All flowers in a fixed random order. */
export function irises(): Flower[] {
  const rows = readFileSync(new URL('iris/iris.csv', import.meta.url), 'utf8')
    .trim()
    .split('\n')
    .slice(1)
  const species = ['setosa', 'versicolor', 'virginica']
  const read = rows.map(row => row.split(','))
  const mean = (values: readonly number[]): number => values.reduce((a, b) => a + b, 0) / values.length
  const scales = [0, 1, 2, 3].map(i => {
    const values = read.map(row => Number(row[i]))
    const middle = mean(values)
    return { middle, deviation: Math.sqrt(mean(values.map(value => (value - middle) ** 2))) }
  })
  const flowers = read.map(row => ({
    lengths: scales.map(({ middle, deviation }, i) => (Number(row[i]) - middle) / deviation),
    species: species.indexOf(row[4]),
  }))
  return stream(1, 'irises').shuffle(flowers)
}
