// Digits of 16 by 16 pixels, drawn by code: strokes that are bent, turned, shifted and blurred at random, with noise.
import { type Random, stream } from 'tilegrad/train'

export const SIZE = 16

type Point = readonly [x: number, y: number]

const arc = (x: number, y: number, rx: number, ry: number, from: number, to: number): Point[] =>
  Array.from({ length: 9 }, (_, i) => {
    const turn = 2 * Math.PI * (from + ((to - from) * i) / 8)
    return [x + rx * Math.sin(turn), y - ry * Math.cos(turn)]
  })

/** The strokes of each digit, in a square from (0, 0), top left, to (1, 1). */
const STROKES: readonly (readonly (readonly Point[])[])[] = [
  [arc(0.5, 0.5, 0.28, 0.38, 0, 1)],
  [
    [
      [0.35, 0.25],
      [0.52, 0.12],
      [0.52, 0.88],
    ],
  ],
  [[...arc(0.5, 0.33, 0.24, 0.21, -0.2, 0.35), [0.27, 0.87], [0.75, 0.87]]],
  [arc(0.48, 0.31, 0.22, 0.19, -0.2, 0.5), arc(0.48, 0.68, 0.25, 0.2, 0, 0.7)],
  [
    [
      [0.62, 0.88],
      [0.62, 0.12],
      [0.25, 0.62],
      [0.78, 0.62],
    ],
  ],
  [[[0.72, 0.13], [0.34, 0.13], [0.31, 0.46], ...arc(0.48, 0.66, 0.24, 0.22, -0.05, 0.62)]],
  [[[0.62, 0.1], [0.34, 0.45], ...arc(0.5, 0.67, 0.22, 0.21, -0.25, 0.75)]],
  [
    [
      [0.26, 0.13],
      [0.74, 0.13],
      [0.42, 0.88],
    ],
  ],
  [arc(0.5, 0.31, 0.19, 0.18, 0, 1), arc(0.5, 0.68, 0.24, 0.2, 0, 1)],
  [[...arc(0.5, 0.33, 0.22, 0.21, 0.25, 1.25), [0.66, 0.55], [0.45, 0.9]]],
]

export interface Digits {
  /** [count · SIZE · SIZE], 0 to 1, row by row. */
  readonly pixels: Float32Array<ArrayBuffer>
  readonly labels: Int32Array<ArrayBuffer>
}

/** Draws `count` digits. The seed decides all of them. */
export function drawDigits(count: number, seed: number): Digits {
  const random = stream(seed, 'digits')
  const pixels = new Float32Array(count * SIZE * SIZE)
  const labels = Int32Array.from({ length: count }, (_, i) => i % STROKES.length)
  labels.forEach((label, i) =>
    draw(pixels.subarray(i * SIZE * SIZE, (i + 1) * SIZE * SIZE), STROKES[label] ?? [], random),
  )
  return { pixels, labels }
}

function draw(image: Float32Array, strokes: readonly (readonly Point[])[], random: Random): void {
  const within = (spread: number): number => spread * (2 * random.next() - 1)
  const [turn, slant, width, height] = [within(0.25), within(0.3), 1 + within(0.2), 1 + within(0.2)]
  const [right, down, pen] = [within(0.1), within(0.1), 0.05 + 0.04 * random.next()]
  const placed = strokes.map(points =>
    points.map(([x, y]): Point => {
      const [u, v] = [(x - 0.5 + within(0.02)) * width, (y - 0.5 + within(0.02)) * height]
      const leaning = u - slant * v
      const [cos, sin] = [Math.cos(turn), Math.sin(turn)]
      return [0.5 + right + cos * leaning - sin * v, 0.5 + down + sin * leaning + cos * v]
    }),
  )
  for (let i = 0; i < image.length; i++) {
    const at: Point = [((i % SIZE) + 0.5) / SIZE, (Math.floor(i / SIZE) + 0.5) / SIZE]
    const near = Math.min(
      ...placed.flatMap(points => points.slice(1).map((to, k) => distance(at, points[k] ?? to, to))),
    )
    const ink = 1 - Math.max(0, near - pen) * SIZE
    image[i] = Math.min(1, Math.max(0, Math.max(0, ink) + within(0.15)))
  }
}

/** From a point to a line between two others. */
function distance([x, y]: Point, [x0, y0]: Point, [x1, y1]: Point): number {
  const [dx, dy] = [x1 - x0, y1 - y0]
  const along = Math.min(1, Math.max(0, ((x - x0) * dx + (y - y0) * dy) / (dx * dx + dy * dy || 1)))
  return Math.hypot(x - x0 - along * dx, y - y0 - along * dy)
}
