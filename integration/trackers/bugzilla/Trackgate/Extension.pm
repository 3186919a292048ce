# Lets a Trackgate gateway log in with tokens of its own: the methods of the Launchpad namespace.

package Bugzilla::Extension::Trackgate;

use 5.10.1;
use strict;
use warnings;

use parent qw(Bugzilla::Extension);

our $VERSION = '1.0';

# The methods are in lib/WebService.pm. Their namespace is the one that gateways ask for.
sub webservice {
  my ($self, $args) = @_;
  $args->{dispatch}{Launchpad} = 'Bugzilla::Extension::Trackgate::WebService';
}

# The texts are in template/en/default/hook/global/user-error-errors.html.tmpl.
sub webservice_error_codes {
  my ($self, $args) = @_;
  my $map = $args->{error_map};
  $map->{trackgate_not_confirmed} = 390;
  $map->{trackgate_unreachable}   = 391;
  $map->{trackgate_no_account}    = 392;
  $map->{trackgate_not_set_up}    = 393;
}

# The parameters are in lib/Params.pm.
sub config_add_panels {
  my ($self, $args) = @_;
  $args->{panel_modules}{Trackgate} = 'Bugzilla::Extension::Trackgate::Params';
}

# A link goes with its bug. The type of bug_id must be that of bugs.bug_id.
sub db_schema_abstract_schema {
  my ($self, $args) = @_;
  $args->{schema}{trackgate_links} = {
    FIELDS => [
      bug_id => {
        TYPE       => 'INT3',
        NOTNULL    => 1,
        REFERENCES => {TABLE => 'bugs', COLUMN => 'bug_id', DELETE => 'CASCADE'},
      },
      launchpad_id => {TYPE => 'INT4', NOTNULL => 1},
    ],
    INDEXES => [trackgate_links_bug_id_idx => {FIELDS => ['bug_id'], TYPE => 'UNIQUE'}],
  };
}

__PACKAGE__->NAME;
