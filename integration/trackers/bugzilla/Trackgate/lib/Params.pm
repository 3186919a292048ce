# The parameters of the extension, on a page of their own below Administration, Parameters.

package Bugzilla::Extension::Trackgate::Params;

use 5.10.1;
use strict;
use warnings;

use Bugzilla::Config::Common;

use Bugzilla::Extension::Trackgate::Gateway;

our $sortkey = 5000;

sub get_param_list {
  return (
    {name => 'trackgate_callback_root', type => 't', default => '', checker => \&_check_root},
    {name => 'trackgate_account',       type => 't', default => ''},
    {name => 'trackgate_timeout',       type => 't', default => '10', checker => \&_check_timeout},
    {name => 'trackgate_ca_file',       type => 't', default => '', checker => \&_check_file},
  );
}

# A checker returns what is wrong, or nothing.
sub _check_root {
  my ($value) = @_;
  return '' if $value eq '' || defined Bugzilla::Extension::Trackgate::Gateway::check_root($value);
  return 'must be an http or https URL without user, query and fragment';
}

sub _check_timeout {
  my ($value) = @_;
  return $value =~ /\A[0-9]{1,3}\z/ && $value > 0 ? '' : 'must be a number of seconds from 1 to 999';
}

sub _check_file {
  my ($value) = @_;
  return $value eq '' || -r $value ? '' : 'must be a file that the web server can read';
}

1;
