# What extensions inherit from, and where their modules are found: lib/ of the extension.

package Bugzilla::Extension;

use strict;
use warnings;

use Cwd qw(abs_path);
use File::Basename qw(dirname);

my $lib = dirname(abs_path(__FILE__)) . '/../../../Trackgate/lib';
push @INC, sub {
  my ($self, $file) = @_;
  my ($module) = $file =~ m{\ABugzilla/Extension/Trackgate/(.+)\z} or return;
  open(my $handle, '<', "$lib/$module") or return;
  $INC{$file} = "$lib/$module";
  return $handle;
};

1;
