#!/bin/bash
# perl.sh - perl counts words, sorts, matches, packs and builds trees. Nothing is normalised: the
# order of hashes is fixed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

real_name=perl
real_needs='/usr/bin/perl=perl'
real_process='(.*/)?perl'

real_prepare() {
    perl "$real_dir/generate.pl" words 5000000 >words
    cat >workload.pl <<'PERL'
use strict;
use warnings;
use Digest::SHA qw(sha256_hex);
use Storable qw(dclone freeze thaw);

my (%count, %lines, @rows);
open my $in, '<', $ARGV[0] or die $!;
while (my $line = <$in>) {
    chomp $line;
    my @words = split ' ', $line;
    $count{$_}++ for @words[1 .. $#words - 1];
    push @{$lines{substr $words[-1], 0, 3}}, $line;
    push @rows, {number => $words[0], key => $words[-1], words => [@words[1 .. $#words - 1]]};
}
print "$_ $count{$_}\n" for (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0 .. 30];
print scalar(keys %count), ' words, ', scalar(keys %lines), " keys\n";
print sha256_hex(join "\n", map { $_->{key} } sort { $a->{number} <=> $b->{number} or
    $a->{key} cmp $b->{key} } @rows), "\n";
my $text = join "\n", map { "@{$_->{words}}" } @rows[0 .. 20000];
my $changed = ($text =~ s/\b(\w+)(an|mo)\b/<$2$1>/g);
print "$changed ", sha256_hex($text), "\n";
my $copy = thaw(freeze(dclone([@rows[0 .. 15000]])));
print sha256_hex(join ',', map { $_->{key} . @{$_->{words}} } @$copy), "\n";
sub tree { my $depth = shift; return $depth ? [tree($depth - 1), tree($depth - 1)] : []; }
sub leaves { my $node = shift; return @$node ? leaves($node->[0]) + leaves($node->[1]) : 1; }
print leaves(tree(15)), "\n" for 1 .. 2;
my $long = '';
$long .= chr(97 + $_ % 26) x ($_ % 50) for 1 .. 60000;
print sha256_hex($long . reverse $long), "\n";
PERL
}

real_run() {
    PERL_HASH_SEED=0 PERL_PERTURB_KEYS=0 on_heap perl "$real_inputs/workload.pl" "$real_inputs/words"
}

real_main "$@"
