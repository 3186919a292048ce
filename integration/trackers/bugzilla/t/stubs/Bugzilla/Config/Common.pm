package Bugzilla::Config::Common;

use strict;
use warnings;

1;
