// Names of a table's columns as JSON has them. In a module of its own, so that the library's types need none of zod's.
import { z } from 'zod'

export const columnsSchema = z.object({
  text: z.string(),
  pair: z.string().optional(),
  label: z.string().optional(),
})
