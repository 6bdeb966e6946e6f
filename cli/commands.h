// The commands of the command line. Each takes the words after its name and returns the exit code.
#ifndef FST_CLI_COMMANDS_H
#define FST_CLI_COMMANDS_H

int fst_command_run(int argc, char **argv);
int fst_command_compile(int argc, char **argv);
int fst_command_bench(int argc, char **argv);
int fst_command_check(int argc, char **argv);
int fst_command_dump(int argc, char **argv);
int fst_command_pack(int argc, char **argv);
int fst_command_test(int argc, char **argv);
int fst_command_inspect(int argc, char **argv);
int fst_command_opt(int argc, char **argv);

#define FST_INPUT_DETAILS                                                                     \
  "Inputs are given by name or, without `NAME=`, in order:\n"                                 \
  "  --input x=chunk.npy             an array in a file\n"                                    \
  "  --input 'x: f32[1, 3, 224]'     random numbers, the same each time (whole numbers: zeros)\n" \
  "  --input sr=16000                a number; also true, false, none, \"text\", [1, 2], (1, 2), {\"a\": 1}\n" \
  "  --inputs all.npz                every array of the file, by name"
#define FST_RUN_DETAILS "MODEL is an archive, a Neuropod, or a compiled file; what is not compiled yet is compiled in memory.\n" FST_INPUT_DETAILS
#define FST_BENCH_DETAILS                                                                      \
  "MODEL is an archive, a Neuropod, or a compiled file; an archive is first compiled ahead of time for these inputs.\n" \
  "Each form of the model runs in a process of its own, pinned to one CPU; first results are compared, then\n" \
  "all take turns. `of roof`: what this CPU would need at least, for the arithmetic or for reading the weights, as\n" \
  "percent of p50; its peak and bandwidth are measured in the same run.\n"                          \
  FST_INPUT_DETAILS
#define FST_CHECK_DETAILS "Exit code 0: equal within the tolerances; 1: different, or a model failed.\n" FST_INPUT_DETAILS
#define FST_SIGNATURE_DETAILS                                                                  \
  "What it is compiled for:\n"                                                                 \
  "  --input 'n: int'                  also float, bool, str, List[int], Dict[str, f32[N, 3]], ...\n" \
  "  --input 'x: f32[N, 3, 224, 224]'  type and sizes of an argument; a name stands for any size, equal names\n" \
  "                                    for equal sizes; f32 f64 f16 bf16 i64 i32 i16 i8 u8 b8\n" \
  "  --example inputs.npz              the very types and sizes of these arrays\n"              \
  "A Neuropod's input spec says it already. With several `--method NAME` each\n"                       \
  "is followed by its own inputs."
#define FST_COMPILE_DETAILS "Refuses, by name, what has no native code. A Neuropod stays a Neuropod.\n" FST_SIGNATURE_DETAILS
#define FST_PACK_DETAILS                                                                          \
  "MODEL is an archive. Specs say what every input and output is: float32 float64 string int8..int64 uint8..uint64,\n" \
  "and of each dimension its size, a name (equal names, equal sizes) or `?` for any:\n"          \
  "  --input 'x: float32[batch, 3]' --input 'names: string[?]' --output 'out: float32[batch]'\n" \
  "With test data the package is tried at once; one that fails is removed."
#define FST_TEST_DETAILS                                                                          \
  "Calls the model with the inputs that are stored in the package, compares what is stored of the outputs, and runs the\n" \
  "same inputs through PyTorch where the package still holds the archive. Exit code 0: all equal."
#define FST_DUMP_DETAILS "Stages: imported, inlined, typed, functional, fused, planned, llvm, asm.\n" FST_SIGNATURE_DETAILS
#define FST_OPT_DETAILS "FILE may be `-` for standard input. Without --passes the text is only parsed, verified and printed."

#endif
