// Adds the functions in this folder to those that expressions may call (shaders/math.ts).
import { addFunctions } from '../math.ts'
import { exponentials } from './exponentials.ts'
import { normals } from './normal.ts'
import { remainders } from './remainder.ts'
import { trigonometry } from './trigonometry.ts'

addFunctions({ ...trigonometry, ...exponentials, ...remainders, ...normals })
