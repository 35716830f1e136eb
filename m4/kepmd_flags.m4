# SPDX-License-Identifier: Apache-2.0

# KEPMD_ADD_FLAG(VARIABLE, FLAG, [EXTRA-FLAGS])
# Adds FLAG to VARIABLE when the compiler and the linker both take it without a
# warning.  EXTRA-FLAGS are given for the probe only.
AC_DEFUN([KEPMD_ADD_FLAG], [
  AS_VAR_PUSHDEF([cache], [kepmd_cv_flag_$2])
  AC_CACHE_CHECK([whether $CC takes $2], [cache], [
    kepmd_saved_CFLAGS=$CFLAGS
    kepmd_saved_LDFLAGS=$LDFLAGS
    CFLAGS="$CFLAGS -Werror $3 $2"
    AS_CASE([$1], [*LDFLAGS*], [LDFLAGS="$LDFLAGS $3 $2"])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])],
      [AS_VAR_SET([cache], [yes])], [AS_VAR_SET([cache], [no])])
    CFLAGS=$kepmd_saved_CFLAGS
    LDFLAGS=$kepmd_saved_LDFLAGS
  ])
  AS_VAR_IF([cache], [yes], [AS_VAR_APPEND([$1], [" $2"])])
  AS_VAR_POPDEF([cache])
])
