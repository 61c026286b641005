# perl: text, processes, sockets, files
perl -e 'print join(",", map { $_ ** 2 } 1 .. 10), "\n"; my %h = (a => 1, b => 2); print "$_=$h{$_}\n" for sort keys %h'
perl -e '$SIG{ALRM} = sub { print "alarm\n" }; alarm 1; sleep 3; $| = 1; if (my $p = fork) { waitpid $p, 0; print $? >> 8, "\n" } else { exit 6 }'
perl -ne 'print if /^r/' /etc/passwd; echo abc | perl -pe 's/b/X/'; perl -MPOSIX -e 'print POSIX::strftime("%Y", gmtime(0)), "\n"'
perl -e 'pipe(R, W); print W "x\n"; close W; print <R>; open F, "-|", "echo sub"; print <F>; print -d "/" ? "dir\n" : ""; system "exit 4"; print $? >> 8, "\n"'
perl -MSocket -e 'socketpair(A, B, AF_UNIX, SOCK_STREAM, 0) or die $!; syswrite A, "ping"; sysread B, $b, 10; print "$b\n"'
perl -e 'opendir D, "/etc"; print scalar(grep { /^pass/ } readdir D) > 0 ? "found\n" : ""; utime 5, 6, "x"; open F, ">x"; close F; utime 5, 6, "x"; print((stat "x")[9], "\n"); use Fcntl ":flock"; open F, "<x"; print flock(F, LOCK_EX | LOCK_NB) ? "locked\n" : ""'
