#include <stdio.h>
#include "../kselftest.h"
#include "dio_lib.h"
int main(void){ksft_print_header();ksft_set_plan(1);ksft_test_result_pass("x\n");ksft_finished();}
