#!/usr/bin/perl
# generate.pl KIND COUNT - inputs for the tests of real programs, the same bytes every time.
#   words BYTES      lines of words, numbers and keys
#   xml BYTES        one document with nested elements, attributes, entities and comments
#   git COMMITS      a stream for `git fast-import`
#   redis COMMANDS   commands for redis-cli
use strict;
use warnings;

my ($kind, $count) = @ARGV;
my %kinds = (words => \&words, xml => \&xml, git => \&git, redis => \&redis);
die "usage: generate.pl words|xml|git|redis COUNT\n"
    unless defined $count && $count =~ /^[1-9][0-9]*$/ && $kinds{$kind};
srand(20259);
my @syllables = qw(ka ri mo ten zul vor is an de lo qua ber fi sha un tor el mi gno pa);
my @lexicon = map { my $n = 1 + int rand 4; join '', map { $syllables[rand @syllables] } 1 .. $n }
    1 .. 4000;
binmode STDOUT;
$kinds{$kind}->($count);

# A word; small ranks are more frequent, as in a language.
sub word { my $rank = int(@lexicon * rand() * rand() * rand()); return $lexicon[$rank]; }
sub phrase { return join ' ', map { word() } 1 .. shift; }

sub words
{
    my ($bytes) = @_;
    for (my $made = 0; $made < $bytes;) {
        my $line = sprintf "%07d %s %s\n", rand 1e7, phrase(3 + int rand 9), sprintf '%08x', rand 2**32;
        print $line;
        $made += length $line;
    }
}

sub xml
{
    my ($bytes) = @_;
    my $made = 0;
    print qq(<?xml version="1.0" encoding="UTF-8"?>\n<catalogue xmlns:k="urn:kiln:test">\n);
    for (my $id = 1; $made < $bytes; $id++) {
        my $item = qq(  <item id="i$id" k:weight=") . int(rand 1000) . qq(" kind="@{[word()]}">\n);
        $item .= "    <title>" . phrase(2 + int rand 5) . "</title>\n";
        $item .= "    <!-- " . phrase(4) . " -->\n" if rand() < 0.1;
        $item .= "    <part n=\"$_\"><name>" . word() . "</name><size>" . int(rand 5000)
            . "</size> &lt;&amp;&gt; </part>\n" for 1 .. int rand 6;
        $item .= "    <text><![CDATA[" . phrase(10 + int rand 60) . "]]></text>\n  </item>\n";
        print $item;
        $made += length $item;
    }
    print "</catalogue>\n";
}

# Every commit changes a few of 400 files in 40 folders; now and then a merge.
sub git
{
    my ($commits) = @_;
    my (@files, $side);
    for my $n (1 .. $commits) {
        my $at = 1700000000 + 600 * $n;
        my $merge = $n % 25 == 0 && $side;
        my $branch = $n % 25 == 10 ? 'refs/heads/side' : 'refs/heads/main';
        my $message = phrase(8) . "\n\n" . phrase(20) . "\n";
        print "commit $branch\nmark :$n\ncommitter Test <test\@localhost> $at +0000\n";
        print 'data ', length $message, "\n$message";
        printf "from :%d\n", $n - 1 - ($n % 25 == 11) if $n > 1;
        print "merge :$side\n" if $merge;
        $side = $n if $branch =~ /side/;
        for (1 .. 1 + int rand 6) {
            my $i = int rand 400;
            $files[$i] ||= [map { phrase(7) } 1 .. 20 + int rand 150];
            splice @{$files[$i]}, int rand @{$files[$i]}, int rand 3, map { phrase(7) } 0 .. rand 4;
            my $body = join "\n", @{$files[$i]}, '';
            printf "M 100644 inline folder%02d/file%03d.txt\ndata %d\n%s\n", $i % 40, $i, length $body,
                $body;
        }
        print "\n";
    }
}

sub redis
{
    my ($commands) = @_;
    my @make = (
        sub { 'SET s:' . int(rand 2000) . ' ' . 'x' x int rand 900 },
        sub { 'APPEND s:' . int(rand 2000) . ' ' . word() x (1 + int rand 20) },
        sub { 'SETRANGE s:' . int(rand 2000) . ' ' . int(rand 3000) . ' ' . word() },
        sub { 'GETRANGE s:' . int(rand 2000) . ' 0 40' },
        sub { 'HSET h:' . int(rand 300) . ' ' . word() . ' ' . word() x int(1 + rand 9) },
        sub { 'HDEL h:' . int(rand 300) . ' ' . word() },
        sub { 'RPUSH l:' . int(rand 300) . ' ' . phrase(1 + int rand 12) },
        sub { 'LPOP l:' . int(rand 300) . ' 3' },
        sub { 'ZADD z:' . int(rand 200) . ' ' . int(rand 1e6) . ' ' . word() },
        sub { 'ZRANGE z:' . int(rand 200) . ' 0 5 WITHSCORES' },
        sub { 'SADD i:' . int(rand 200) . ' ' . int rand 5000 },
        sub { 'XADD x:' . int(rand 50) . ' ' . shift() . '-1 field ' . word() },
        sub { 'DEL s:' . int(rand 2000) },
        sub { 'COPY s:' . int(rand 2000) . ' s:' . int(rand 2000) . ' REPLACE' },
    );
    print $make[rand @make]->($_), "\n" for 1 .. $commands;
}
