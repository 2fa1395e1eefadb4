;; The matrix product c += a · b in float32, the only part of the detector that is not JavaScript. One instruction
;; multiplies four numbers ("SIMD"), and eight sums are kept in registers at a time: four rows of c by eight columns.
;; assembler.py makes the bytes from this text.
(module
  (memory (export "memory") 1)

  ;; All places are in bytes. `rows` is a multiple of 4 and `columns` of 8; matmul.js fills up with zeros.
  (func (export "multiply_add")
    (param $a i32)        ;; (rows, depth), of which a row begins every `stride` bytes
    (param $stride i32)
    (param $b i32)        ;; (columns / 8, depth, 8): panels of eight columns, so that they are read in a line
    (param $c i32)        ;; (rows, columns)
    (param $rows i32) (param $depth i32) (param $columns i32)
    (local $row i32) (local $column i32)
    (local $row_bytes i32)                      ;; of c
    (local $left i32) (local $left_end i32)     ;; where a is read: a column further every step
    (local $right i32)                          ;; where b is read: 32 bytes further every step
    (local $place i32)
    (local $b0 v128) (local $b1 v128)           ;; eight numbers of b
    (local $factor v128)                        ;; one number of a, four times
    (local $zero v128)                          ;; never set, and locals begin at zero
    (local $c00 v128) (local $c01 v128)         ;; the sums: rows 0 to 3, left and right half
    (local $c10 v128) (local $c11 v128)
    (local $c20 v128) (local $c21 v128)
    (local $c30 v128) (local $c31 v128)

    (local.set $row_bytes (i32.shl (local.get $columns) (i32.const 2)))
    (loop $next_columns
      (local.set $row (i32.const 0))
      (loop $next_rows
        (local.set $c00 (local.get $zero)) (local.set $c01 (local.get $zero))
        (local.set $c10 (local.get $zero)) (local.set $c11 (local.get $zero))
        (local.set $c20 (local.get $zero)) (local.set $c21 (local.get $zero))
        (local.set $c30 (local.get $zero)) (local.set $c31 (local.get $zero))
        (local.set $left (i32.add (local.get $a) (i32.mul (local.get $row) (local.get $stride))))
        (local.set $left_end (i32.add (local.get $left) (i32.shl (local.get $depth) (i32.const 2))))
        (local.set $right
          (i32.add (local.get $b) (i32.mul (local.get $column) (i32.shl (local.get $depth) (i32.const 2)))))

        (loop $next_product
          (local.set $b0 (v128.load (local.get $right)))
          (local.set $b1 (v128.load offset=16 (local.get $right)))

          (local.set $place (local.get $left))
          (local.set $factor (v128.load32_splat (local.get $place)))
          (local.set $c00 (f32x4.add (local.get $c00) (f32x4.mul (local.get $factor) (local.get $b0))))
          (local.set $c01 (f32x4.add (local.get $c01) (f32x4.mul (local.get $factor) (local.get $b1))))

          (local.set $place (i32.add (local.get $place) (local.get $stride)))
          (local.set $factor (v128.load32_splat (local.get $place)))
          (local.set $c10 (f32x4.add (local.get $c10) (f32x4.mul (local.get $factor) (local.get $b0))))
          (local.set $c11 (f32x4.add (local.get $c11) (f32x4.mul (local.get $factor) (local.get $b1))))

          (local.set $place (i32.add (local.get $place) (local.get $stride)))
          (local.set $factor (v128.load32_splat (local.get $place)))
          (local.set $c20 (f32x4.add (local.get $c20) (f32x4.mul (local.get $factor) (local.get $b0))))
          (local.set $c21 (f32x4.add (local.get $c21) (f32x4.mul (local.get $factor) (local.get $b1))))

          (local.set $place (i32.add (local.get $place) (local.get $stride)))
          (local.set $factor (v128.load32_splat (local.get $place)))
          (local.set $c30 (f32x4.add (local.get $c30) (f32x4.mul (local.get $factor) (local.get $b0))))
          (local.set $c31 (f32x4.add (local.get $c31) (f32x4.mul (local.get $factor) (local.get $b1))))

          (local.set $right (i32.add (local.get $right) (i32.const 32)))
          (local.set $left (i32.add (local.get $left) (i32.const 4)))
          (br_if $next_product (i32.lt_u (local.get $left) (local.get $left_end))))

        (local.set $place
          (i32.add
            (local.get $c)
            (i32.add
              (i32.mul (local.get $row) (local.get $row_bytes))
              (i32.shl (local.get $column) (i32.const 2)))))
        (v128.store (local.get $place) (f32x4.add (v128.load (local.get $place)) (local.get $c00)))
        (v128.store offset=16 (local.get $place)
          (f32x4.add (v128.load offset=16 (local.get $place)) (local.get $c01)))
        (local.set $place (i32.add (local.get $place) (local.get $row_bytes)))
        (v128.store (local.get $place) (f32x4.add (v128.load (local.get $place)) (local.get $c10)))
        (v128.store offset=16 (local.get $place)
          (f32x4.add (v128.load offset=16 (local.get $place)) (local.get $c11)))
        (local.set $place (i32.add (local.get $place) (local.get $row_bytes)))
        (v128.store (local.get $place) (f32x4.add (v128.load (local.get $place)) (local.get $c20)))
        (v128.store offset=16 (local.get $place)
          (f32x4.add (v128.load offset=16 (local.get $place)) (local.get $c21)))
        (local.set $place (i32.add (local.get $place) (local.get $row_bytes)))
        (v128.store (local.get $place) (f32x4.add (v128.load (local.get $place)) (local.get $c30)))
        (v128.store offset=16 (local.get $place)
          (f32x4.add (v128.load offset=16 (local.get $place)) (local.get $c31)))

        (local.set $row (i32.add (local.get $row) (i32.const 4)))
        (br_if $next_rows (i32.lt_u (local.get $row) (local.get $rows))))
      (local.set $column (i32.add (local.get $column) (i32.const 8)))
      (br_if $next_columns (i32.lt_u (local.get $column) (local.get $columns))))))
