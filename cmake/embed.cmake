# IN as a C array NAME in OUT; a NUL follows the bytes and does not count.
file(READ ${IN} hex HEX)
string(LENGTH "${hex}" digits)
math(EXPR bytes "${digits} / 2")
string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," list "${hex}")
string(REGEX REPLACE "(0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],0x[0-9a-f][0-9a-f],)" "\\1\n" list "${list}")
file(WRITE ${OUT}.part "extern const char ${NAME}[];\nextern const unsigned ${NAME}_len;\nconst char ${NAME}[] = {\n${list}0};\nconst unsigned ${NAME}_len = ${bytes};\n")
file(RENAME ${OUT}.part ${OUT})
