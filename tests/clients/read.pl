# SPDX-License-Identifier: MIT
# Reads a phone book through Net::LDAP, with StartTLS, in pages and sorted; prints the uids, one a line.
# Usage: perl read.pl HOST:PORT CERTIFICATE LOGIN PASSWORD BASE FILTER PAGE

use strict;
use warnings;
use Net::LDAP;
use Net::LDAP::Constant qw(LDAP_CONTROL_PAGED);
use Net::LDAP::Control::Paged;
use Net::LDAP::Control::Sort;

my ($server, $certificate, $login, $password, $base, $filter, $size) = @ARGV;

sub checked {
    my ($result) = @_;
    die $result->error_name . ": " . $result->error . "\n" if $result->code;
    return $result;
}

my $ldap = Net::LDAP->new($server, timeout => 30) or die "$@\n";
checked($ldap->start_tls(verify => "require", cafile => $certificate));
checked($ldap->bind($login, password => $password));
my $sort = Net::LDAP::Control::Sort->new(order => "cn", critical => 1);
my $page = Net::LDAP::Control::Paged->new(size => $size);
my $cookie;
do {
    my $found = checked($ldap->search(base => $base, filter => $filter, attrs => ["uid"], control => [$page, $sort]));
    print $_->get_value("uid"), "\n" for $found->entries;
    $cookie = $found->control(LDAP_CONTROL_PAGED)->cookie;
    $page->cookie($cookie);
} while (defined $cookie && length $cookie);
$ldap->unbind;
